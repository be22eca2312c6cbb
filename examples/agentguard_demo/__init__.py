"""A support agent in a small but real world: a database, a workspace, a web page and a mail server, all local.

``world`` holds the world and tells what really happened in it, ``tools`` are the agent's tools, ``model`` is a scripted
worst case that obeys every order it reads, ``unguarded`` lets it run. All people and companies are made up.
"""
