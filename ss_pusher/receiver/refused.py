"""Why a request was not taken."""

from http import HTTPStatus

from ss_pusher.errors import SsPusherError


class RefusedError(SsPusherError):
    """A request breaks a rule of its protocol. The text says which, and goes back to the sender."""

    def __init__(self, reason: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(reason)
        self.status = status
