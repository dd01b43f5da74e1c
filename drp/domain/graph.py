"""The dependency graph of services."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def find_cycle(edges: Mapping[str, Collection[str]]) -> list[str] | None:
    """One cycle as a closed path (`a → b → a`), or None. Edges to unknown names are passed over."""
    done: set[str] = set()
    for start in sorted(edges):
        path: list[str] = []
        on_path: set[str] = set()
        pending = [(start, iter(sorted(edges[start])))] if start not in done else []
        if pending:
            path.append(start)
            on_path.add(start)
        while pending:
            node, successors = pending[-1]
            for successor in successors:
                if successor in on_path:
                    return [*path[path.index(successor) :], successor]
                if successor in edges and successor not in done:
                    path.append(successor)
                    on_path.add(successor)
                    pending.append((successor, iter(sorted(edges[successor]))))
                    break
            else:
                pending.pop()
                on_path.discard(path.pop())
                done.add(node)
    return None


def with_dependencies(wanted: Collection[str], edges: Mapping[str, Collection[str]]) -> list[str]:
    """The wanted services and all they depend on, dependencies first; the order is stable."""
    ordered: list[str] = []
    seen: set[str] = set()
    for start in sorted(wanted):
        pending = [(start, iter(sorted(edges[start])))] if start not in seen else []
        seen.add(start)
        while pending:
            name, dependencies = pending[-1]
            following = next((item for item in dependencies if item not in seen), None)
            if following is None:
                ordered.append(name)
                pending.pop()
            else:
                seen.add(following)
                pending.append((following, iter(sorted(edges[following]))))
    return ordered


def wave_numbers(edges: Mapping[str, Collection[str]]) -> dict[str, int]:
    """The wave of each name: 1 where it depends on nothing, else one after the last of its dependencies. There must be
    no circle; dependencies that are no key themselves count as standing already."""
    known = {name: [need for need in needs if need in edges] for name, needs in edges.items()}
    waves: dict[str, int] = {}
    for name in with_dependencies(list(known), known):
        waves[name] = 1 + max((waves[need] for need in known[name]), default=0)
    return waves
