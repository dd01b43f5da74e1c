"""Other names during a drill: a marked block in /etc/hosts, and older lines of the same names taken out of use.

Lines are changed where they stand, so that taking the block away gives the file back as it was, with what somebody else
has changed in it meanwhile.
"""

from __future__ import annotations

BEGIN, END = "# >>> drp drill", "# <<< drp drill"
WAS, NOW = "#drp-was# ", " #drp-now"


def with_names(text, run, names):
    """The file's content with each name leading to its address; {name: address}."""
    taken = {name.lower() for name in names}
    lines = []
    for line in without_names(text).splitlines():
        words = line.partition("#")[0].split()
        kept = [word for word in words[1:] if word.lower() not in taken]
        if len(kept) == len(words[1:]):
            lines.append(line)
            continue
        lines.append(WAS + line)
        if kept:
            lines.append(" ".join([words[0], *kept]) + NOW)
    by_address = {}
    for name, address in sorted(names.items()):
        by_address.setdefault(address, []).append(name)
    block = ["%s %s: these names lead to the drill's copies; drp removes this" % (BEGIN, run)]
    block += ["%s %s" % (address, " ".join(found)) for address, found in sorted(by_address.items())]
    # Before all others: of two lines for a name, programs take the first.
    return "\n".join([*block, END, *lines]) + "\n"


def without_names(text):
    """The file's content as it was before `with_names`."""
    lines, is_inside = [], False
    for line in text.splitlines():
        if line.startswith(BEGIN):
            is_inside = True
        elif is_inside:
            is_inside = not line.startswith(END)
        elif line.startswith(WAS):
            lines.append(line[len(WAS) :])
        elif not line.endswith(NOW):
            lines.append(line)
    return "\n".join(lines) + ("\n" if lines and (text.endswith("\n") or not text) else "")
