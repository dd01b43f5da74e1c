"""What the application of a city puts on a host; see `drp.lab.applications.city`."""
