"""What runs on your own computer around the playbooks.

It checks what you wrote about the house, finds a way to the Pi, asks what has to be asked,
and hands over to Ansible, which cannot hold a conversation.
"""
