"""A city on one machine: namespaced hosts, an S3 server and a demonstration service, for rehearsals and tests.

`drp.lab.city` is the door. Everything here needs root, stays inside 198.18.0.0/15 (RFC 2544: never routed on the
internet) and is not a security boundary: root inside a lab host is root on the machine.
"""
