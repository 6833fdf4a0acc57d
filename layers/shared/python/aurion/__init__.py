"""The product itself: an AI support desk, without voice framework and without infrastructure."""
