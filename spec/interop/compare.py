"""Protobuf messages made comparable: flattened to {path: value}, with clocks and random ids masked."""

import re

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

# Fields that differ between any two servers or any two runs of one, with what is compared in place of their value.
MASKED = {
    "task_id": "a counter of the server",
    "task_token": "each server has a form of its own",
    "next_page_token": "each server has a form of its own",
    "history_size_bytes": "sizes of ids and clocks, and of the server's own encoding",
    "size_bytes": "sizes of ids and clocks, and of the server's own encoding",
    "execution_duration": "clocks",
    "first_workflow_task_backoff": "clocks",
    "initial_skipped_duration": "clocks",
    "state_transition_count": "how often a server wrote its own state",
}


# Not compared at all: it tells of the moment.
IGNORED = {"poller_scaling_decision"}


class Names:
    """Random ids under the names that the script gave them; others are only said to be there."""

    def __init__(self):
        self.known = {}

    def learn(self, value, name):
        if UUID.fullmatch(value):
            self.known.setdefault(value, f"<{name}>")

    def __call__(self, text):
        return UUID.sub(lambda found: self.known.get(found.group(0), "<id>"), text)


def is_map(field):
    return (
        field.type == FieldDescriptor.TYPE_MESSAGE
        and field.message_type.GetOptions().map_entry
    )


def scalar(field, value, names):
    if field.name in MASKED:
        return f"<{field.name}>"
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    if field.type == FieldDescriptor.TYPE_BYTES:
        value = value.decode("utf-8", "backslashreplace")
    return names(value) if isinstance(value, str) else value


def flatten(message, names, path="", out=None):
    """A message as {path: value}; times only say that they are there."""
    out = {} if out is None else out
    if message.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        out[path] = "<time>" if message.seconds > 0 else "<zero time>"
        return out
    if message.DESCRIPTOR.full_name == "google.protobuf.Duration":
        masked = path.rsplit(".", 1)[-1] in MASKED
        out[path] = "<duration>" if masked else message.ToJsonString()
        return out
    if path:
        out[path] = "{}"
    for field, value in message.ListFields():
        if field.name in IGNORED:
            continue
        at = f"{path}.{field.name}" if path else field.name
        if is_map(field):
            item = field.message_type.fields_by_name["value"]
            for key in sorted(value):
                put(item, value[key], names, f"{at}[{names(str(key))}]", out)
        elif isinstance(value, (str, bytes, int, float, bool)) or not hasattr(value, "__len__"):
            put(field, value, names, at, out)
        else:
            for i, one in enumerate(value):
                put(field, one, names, f"{at}[{i}]", out)
    return out


def put(field, value, names, path, out):
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        flatten(value, names, path, out)
    else:
        out[path] = scalar(field, value, names)


def as_request(message_type, fields):
    return json_format.ParseDict(fields, message_type())


def differing(reference, ours):
    """Paths at which two flattened answers differ, with both values (None: absent)."""
    paths = sorted(set(reference) | set(ours))
    return [(p, reference.get(p), ours.get(p)) for p in paths if reference.get(p) != ours.get(p)]
