"""PromptReps: a leg of the index that a chat model makes."""
