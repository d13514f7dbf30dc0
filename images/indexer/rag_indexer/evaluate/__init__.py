"""The offline comparison of two revisions on held-out questions. Numbers, no verdict: `rollout/gates.py` of the operator decides.

questions -> ask both revisions through the gateway's preview port -> metrics per question -> paired bootstrap -> one report
"""
