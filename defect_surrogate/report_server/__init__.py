"""A read-only web page over a folder of finished and running searches, for a group to leave open in the browser.

It reads reports and the archive's index, writes nothing, and starts nothing. Pages hold no scripts; files are served by an
allow-list, and only out of folders of searches.
"""
