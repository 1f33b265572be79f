"""Terms of the fit's energy: one object a term, with its residuals, weight and derivatives."""
