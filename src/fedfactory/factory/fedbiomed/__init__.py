"""The factory's training on the engine Fed-BioMed: what the engine is given.

===========  ==========================================================================================
``training`` the job's side: makes the clients' folders, and has the engine train
``server``   the server, and what it asks of the clients' announcements; named to the engine
``clients``  what a client trains, from its folder
``folder``   the folder that is all a client's node can read
``shipped``  the text that is sent to the clients and that they approve
``join``     command for a real client: prepares its node
===========  ==========================================================================================
"""
