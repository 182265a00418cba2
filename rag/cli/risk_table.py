"""Risk against coverage as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rag.stages.risk.bounds import Choice, NotReached


def risk_table(steps: Sequence[Choice], confidence: float, *, chosen: Choice | NotReached | None = None) -> str:
    """Risk against coverage as aligned text, the strictest threshold first; the chosen one is marked."""
    lines = [
        f"  {'confidence':>10} {'answered':>9} {'coverage':>9} {'wrong':>6} {'risk':>6} {f'{confidence:.0%} bound':>10}"
    ]
    for step in steps:
        mark = "  <- chosen" if step == chosen else ""
        lines.append(
            f"  {step.threshold:>10.3f} {step.given:>9,} {step.coverage:>9.1%} {step.wrong:>6,} {step.risk:>6.3f} "
            f"{step.bound:>10.3f}{mark}"
        )
    return "\n".join(lines)
