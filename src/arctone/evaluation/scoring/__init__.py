"""From folders of sounds, or a model, to a report: which sounds there are, their embeddings, the measures, the
numbers.
"""
