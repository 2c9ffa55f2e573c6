"""Builds the Android app into an APK, and checks it."""
