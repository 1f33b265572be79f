"""Build: betas of a person from the outlines in pictures, beside what keypoints tell."""
