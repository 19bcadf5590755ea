"""The live rules on history, and how sure what comes of it is. No room that trades imports it."""
