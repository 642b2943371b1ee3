"""Whole stories: tune a model to sounds, reproduce a comparison."""
