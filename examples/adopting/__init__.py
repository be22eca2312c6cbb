"""An agent with plain Python tools on its way from no policy at all to an enforced one: docs/adopting.md."""
