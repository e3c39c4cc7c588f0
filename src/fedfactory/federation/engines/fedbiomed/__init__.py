"""The engine Fed-BioMed (Cremonesi et al., 2023): a training on real nodes, on this machine or at hospitals.

=================  =============================================================================================
``driver``         the job's side: starts, watches and ends all processes
``trained``        what the engine is given: what a server and a client do is not its own
``processes``      child processes that never outlive the job
``researcher``     the process of the server
``node_watch``     until all clients answer and have approved
``rounds``         sampling, averaging and deadlines, as Fed-BioMed wants them
``wire``           a message, as Fed-BioMed carries it
``folder``         the folder that is all a client's node can read
``node``           the process of one client's node on this machine
``node_database``  files of a node
``joining``        what the commands that prepare a real client's node share
``records``        ledger and losses of one end of a border
``plan``           what runs at a client in a round
=================  =============================================================================================

Fed-BioMed itself is imported only by the processes that are its researcher or a node.
"""
