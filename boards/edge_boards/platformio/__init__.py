"""PlatformIO: the same sources for the same boards, built by a tool that many people have."""

# from edge_boards.platformio.project import write_project
# from edge_boards.platformio.run import build_project
