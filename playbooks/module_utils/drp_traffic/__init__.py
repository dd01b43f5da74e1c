"""What leads users to a site, on the host that it runs on."""
