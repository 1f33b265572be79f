"""Body-part and silhouette alignment: what the fit compares with predicted part maps."""
