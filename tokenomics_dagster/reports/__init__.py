"""What a person opens afterwards: pages made from stored records. Nothing here is asked of a provider or stored."""
