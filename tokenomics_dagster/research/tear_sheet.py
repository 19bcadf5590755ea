"""One page"""
def page(result): return ""
