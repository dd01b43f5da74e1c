"""What goes down with a thing: a service, host, line, place or site."""
