"""What a graph's scores are worth and how sure its answers are, learnt from questions: `rag calibrate`."""
