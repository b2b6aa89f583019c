"""Packages for the Unreal editor: neutral data, a mapping, and the script that reads both."""
