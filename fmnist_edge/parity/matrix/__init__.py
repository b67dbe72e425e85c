"""Every artifact in every engine that claims it: do they all give the same answers?"""
