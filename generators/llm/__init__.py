"""Language models behind stages: prompts to completions. The table of all of them."""

from rag.core.registry import Registry

LLMS = Registry(
    "llm",
    {
        "llama_cpp": "generators.llm.llama_cpp:LlamaCppLLM",
        "scripted": "generators.llm.scripted:ScriptedLLM",
        "server": "generators.llm.server:ServerLLM",
        "transformers": "generators.llm.transformers:TransformersLLM",
        "vllm_offline": "generators.llm.vllm_offline:VLLMOfflineLLM",
    },
)
