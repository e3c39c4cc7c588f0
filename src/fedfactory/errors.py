"""The one exception that users are meant to read."""


class FedFactoryError(Exception):
    """Bad input or an impossible request, told in one sentence.

    The message names the file or the configuration key, says what is wrong and what to do. Scripts print it
    without a traceback; every other exception is a defect of this project and keeps its traceback.
    """
