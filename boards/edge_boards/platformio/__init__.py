"""PlatformIO: the same sources for the same boards, built by a tool that many people have."""
