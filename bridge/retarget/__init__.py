"""Retargeting: motion of one armature as keys of another with other bones and proportions."""
