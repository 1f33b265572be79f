"""Frozen pretrained eyes: people, keypoints, tracks."""
