"""Ahead of time: Graph -> Program (`lower`) -> MemoryPlan (`planner`) -> C (`emit`, `package`)."""
