"""The packet filter's rules that isolate a recovery host during a drill, as text for nft or iptables-restore.

Out of the host may go, in this order:

    what stays on the host; answers to who came in (drp's ssh, the probe from outside)
    the drill's own recovery hosts, and the DR centre's endpoints
    nothing to production (primary hosts, users' addresses), nothing to a mail port, whatever follows
    what the workspace or a service allows (`drill_allows`)

Everything else is refused at once, so that nobody waits, and counted by where it went. Connections to the production
address of something that the drill has a copy of are led to that copy, but for ssh and mail: those would land on a
machine that was not meant.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

MAIL_PORTS = (25, 465, 587)
INSIDE = ("docker*", "br-*", "veth*", "cni*", "podman*", "virbr*", "lxcbr*", "lxdbr*")
"""Interfaces to containers and virtual machines of the host: what they send through it is judged too."""
MOST_COUNTED = 4096
NEIGHBOURS = (
    *("nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-solicit", "nd-router-advert"),
    *("mld-listener-report", "mld2-listener-report"),
)
"""Without these there is no IPv6 on a line."""


def families(addresses):
    """Addresses by IP version, in order."""
    found = {4: [], 6: []}
    for address in sorted({ip_address(item) for item in addresses}, key=lambda item: (item.version, item)):
        found[address.version].append(str(address))
    return found


def spared(job):
    """Ports that are never led to a copy."""
    return sorted({job["ssh_port"], 22, *MAIL_PORTS})


def endpoints(job):
    return sorted({(address, item["port"]) for item in job["endpoints"] for address in item["addresses"]})


def nft_table(name, job):
    """A table for `nft -f`, which takes the place of one of the same name at once."""
    lines = ["table inet %s" % name, "delete table inet %s" % name, "table inet %s {" % name]
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        places = [item for item in endpoints(job) if ip_address(item[0]).version == version]
        lines += [
            nft_set("peers%d" % version, kind, families(job["peers"])[version]),
            nft_set("production%d" % version, kind, families(job["production"])[version]),
            nft_set("endpoints%d" % version, kind + " . inet_service", ["%s . %d" % item for item in places]),
            "  set refused%d { type %s . inet_proto . inet_service; size %d; flags dynamic; }"
            % (version, kind, MOST_COUNTED),
            "  set odd%d { type %s . inet_proto; size %d; flags dynamic; }" % (version, kind, MOST_COUNTED),
        ]
    lines += ["  chain refuse {"]
    for version, word in ((4, "ip"), (6, "ip6")):
        lines += [
            "    meta l4proto { tcp, udp } update @refused%d { %s daddr . meta l4proto . th dport counter }"
            % (version, word),
            "    meta l4proto != { tcp, udp } update @odd%d { %s daddr . meta l4proto counter }" % (version, word),
        ]
    lines += [
        "    meta l4proto tcp reject with tcp reset",
        "    reject with icmpx type admin-prohibited",
        "  }",
        "  chain judge {",
        # A connection that had been open before the table was there has no side that began it: sshd only answers.
        "    tcp sport %d tcp flags & (syn | ack) != syn accept" % job["ssh_port"],
        "    ct direction reply accept",
        "    ct state related meta l4proto { icmp, ipv6-icmp } accept",
        "    icmpv6 type { %s } accept" % ", ".join(NEIGHBOURS),
        "    ip protocol igmp accept",
        # The host must keep the address that it has.
        "    udp sport 68 udp dport 67 accept",
        "    udp sport 546 udp dport 547 accept",
    ]
    for version, word in ((4, "ip"), (6, "ip6")):
        lines += [
            "    %s daddr @peers%d accept" % (word, version),
            "    %s daddr . tcp dport @endpoints%d accept" % (word, version),
            "    %s daddr @production%d goto refuse" % (word, version),
        ]
    lines.append("    meta l4proto { tcp, udp } th dport { %s } goto refuse" % listed(MAIL_PORTS))
    for item in job["allowed"]:
        word = "ip" if ip_network(item["network"]).version == 4 else "ip6"
        ports = " meta l4proto { tcp, udp } th dport { %s }" % listed(item["ports"]) if item["ports"] else ""
        lines.append("    %s daddr %s%s accept" % (word, item["network"], ports))
    lines += [
        "    goto refuse",
        "  }",
        "  chain out {",
        "    type filter hook output priority 10; policy accept;",
        '    oifname "lo" accept',
        "    fib daddr type local accept",
        "    jump judge",
        "  }",
        "  chain through {",
        "    type filter hook forward priority 10; policy accept;",
        *('    oifname "%s" accept' % name for name in INSIDE),
        "    jump judge",
        "  }",
        "  chain lead {",
    ]
    for address, to in sorted(job["redirects"].items()):
        word = "ip" if ip_address(address).version == 4 else "ip6"
        lines.append(
            "    %s daddr %s meta l4proto { tcp, udp } th dport != { %s } counter dnat %s to %s"
            % (word, address, listed(spared(job)), word, to)
        )
    lines += [
        "  }",
        "  chain lead_out { type nat hook output priority -100; jump lead; }",
        "  chain lead_through {",
        "    type nat hook prerouting priority -100;",
        *('    iifname "%s" jump lead' % name for name in INSIDE),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def nft_set(name, kind, elements):
    return "  set %s { type %s; %s}" % (name, kind, "elements = { %s } " % ", ".join(elements) if elements else "")


def listed(ports):
    return ", ".join("%d" % port for port in ports)


def nft_counts(listing):
    """(refused, led) of a table that `nft -j list table` has listed: {address: {protocol, port: packets}} as
    [[address, protocol, port, packets]], and {address: connections}."""
    refused, led = [], {}
    for item in listing.get("nftables", []):
        name = item.get("set", {}).get("name", "")
        if name[:-1] in ("refused", "odd"):
            for entry in item["set"].get("elem", []):
                address, protocol, port = (list(entry["elem"]["val"]["concat"]) + [0])[:3]
                refused.append([address, str(protocol), port, entry["elem"]["counter"]["packets"]])
        if item.get("rule", {}).get("chain") == "lead":
            words = {key: value for expression in item["rule"]["expr"] for key, value in expression.items()}
            match = next(part["match"] for part in item["rule"]["expr"] if "match" in part)
            led[match["right"]] = words["counter"]["packets"]
    return sorted(refused, key=str), led


def iptables_rules(job, version):
    """(filter, nat) for iptables-restore --noflush (or ip6tables-restore), with chains of drp's own: for hosts without
    nft. They count by address alone, and only what production and mail are concerned apart from all the rest."""
    own = lambda addresses: families(addresses)[version]  # noqa: E731 - a name for a long expression
    reset = "-j REJECT --reject-with tcp-reset"
    prohibited = "-j REJECT --reject-with %s" % ("icmp-admin-prohibited" if version == 4 else "icmp6-adm-prohibited")
    judge = [
        "-p tcp --sport %d ! --syn -j RETURN" % job["ssh_port"],
        "-m conntrack --ctdir REPLY -j RETURN",
        "-p %s -m conntrack --ctstate RELATED -j RETURN" % ("icmp" if version == 4 else "ipv6-icmp"),
    ]
    if version == 4:
        judge += ["-p igmp -j RETURN", "-p udp --sport 68 --dport 67 -j ACCEPT"]
    else:
        kinds = (133, 134, 135, 136, 131, 143)
        judge += ["-p ipv6-icmp --icmpv6-type %d -j RETURN" % kind for kind in kinds]
        judge.append("-p udp --sport 546 --dport 547 -j RETURN")
    judge += ["-d %s -j RETURN" % address for address in own(job["peers"])]
    places = [item for item in endpoints(job) if ip_address(item[0]).version == version]
    judge += ["-d %s -p tcp --dport %d -j RETURN" % item for item in places]
    refused = ["-d %s" % address for address in own(job["production"])]
    refused += ["-p %s --dport %d" % (word, port) for port in MAIL_PORTS for word in ("tcp", "udp")]
    judge += [line for match in refused for line in refusing(match, reset, prohibited)]
    for item in job["allowed"]:
        if ip_network(item["network"]).version == version:
            ports = [" -p %s --dport %d" % (word, port) for port in item["ports"] for word in ("tcp", "udp")]
            judge += ["-d %s%s -j RETURN" % (item["network"], port) for port in ports or [""]]
    judge += refusing("", reset, prohibited)
    inside = [name.replace("*", "+") for name in INSIDE]
    filter_lines = [
        "*filter",
        *(":%s - [0:0]" % chain for chain in ("DRP-JUDGE", "DRP-OUT", "DRP-THROUGH")),
        "-A DRP-OUT -o lo -j RETURN",
        "-A DRP-OUT -m addrtype --dst-type LOCAL -j RETURN",
        "-A DRP-OUT -j DRP-JUDGE",
        *("-A DRP-THROUGH -o %s -j RETURN" % name for name in inside),
        "-A DRP-THROUGH -j DRP-JUDGE",
        *("-A DRP-JUDGE %s" % line.strip() for line in judge),
        "-I OUTPUT 1 -j DRP-OUT",
        "-I FORWARD 1 -j DRP-THROUGH",
        "COMMIT",
    ]
    lead = []
    for address, to in sorted(job["redirects"].items()):
        if ip_address(address).version == version:
            ports = ",".join("%d" % port for port in spared(job))
            lead += [
                "-d %s -p %s -m multiport ! --dports %s -j DNAT --to-destination %s" % (address, word, ports, to)
                for word in ("tcp", "udp")
            ]
    nat_lines = [
        "*nat",
        ":DRP-LEAD - [0:0]",
        *("-A DRP-LEAD %s" % line for line in lead),
        "-I OUTPUT 1 -j DRP-LEAD",
        *("-I PREROUTING 1 -i %s -j DRP-LEAD" % name for name in inside),
        "COMMIT",
    ]
    return "\n".join(filter_lines) + "\n", "\n".join(nat_lines) + "\n"


def refusing(match, reset, prohibited):
    protocol = "" if "-p " in match else "-p tcp "
    lines = ["%s %s%s" % (match, protocol, reset)] if "-p udp" not in match else []
    return lines if "-p tcp" in match else [*lines, "%s %s" % (match, prohibited)]


def iptables_counts(listing):
    """The same as `nft_counts`, from `iptables -nvxL` of DRP-JUDGE and DRP-LEAD."""
    refused, led = {}, {}
    for line in listing.splitlines():
        words = line.split()
        if len(words) < 9 or not words[0].isdecimal() or words[2] not in ("REJECT", "DNAT"):
            continue
        address = words[8].split("/")[0]
        if words[2] == "DNAT":
            led[address] = led.get(address, 0) + int(words[0])
            continue
        port = next((int(word[len("dpt:") :]) for word in words if word.startswith("dpt:")), 0)
        protocol = {"6": "tcp", "17": "udp", "0": "any"}.get(words[3], words[3]).replace("all", "any")
        where = "anywhere" if address in ("0.0.0.0", "::") else address  # noqa: S104 - a word of iptables' own
        refused[where, protocol, port] = refused.get((where, protocol, port), 0) + int(words[0])
    return sorted([*key, count] for key, count in refused.items() if count), led
