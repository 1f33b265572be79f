"""Descent: the learned way (HUND), the gradient-based fit, and the body and state that both share."""
