"""The evaluation card: figures of a model beside those of baselines, with intervals."""
