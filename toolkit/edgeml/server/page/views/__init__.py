"""What each page shows, as frozen values: read from the store by SQL, in words and figures, without a browser.

A reader takes a connection and a `Scene` and returns a view. Every figure comes from the store, the project file or a
bundle; what was not measured is a dash and a reason. No statement grows with the fleet but the counts of its devices.
"""
