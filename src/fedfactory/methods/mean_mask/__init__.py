"""The mean mask of M_t: a bound from below, which looks at no image."""
