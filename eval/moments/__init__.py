"""Search in time: is the right moment of the right video found?"""
