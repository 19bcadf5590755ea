"""What of the documents is made from the code, and how they are held to what is true.

Here is what writes the generated parts of docs/ and puts the site together, and their tests. What the pages say beyond
that is written by hand, in docs/.
"""
