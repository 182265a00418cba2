"""Generators: Context -> Answer. The table of all of them; language models are in `generators.llm`."""

from rag.core.registry import Registry

GENERATORS = Registry(
    "generate",
    {
        "chain": "generators.chain:ChainGenerator",
        "cited": "generators.cited:CitedGenerator",
        "closed_book": "generators.closed_book:ClosedBookGenerator",
        "follow_up": "generators.follow_up:FollowUpGenerator",
        "forecast": "generators.forecast:ForecastGenerator",
        "label": "generators.label:LabelGenerator",
        "stride": "generators.stride:StrideGenerator",
        "tally": "generators.tally:TallyGenerator",
        "typed": "generators.typed:TypedGenerator",
        "vote": "generators.vote:VoteGenerator",
    },
)
