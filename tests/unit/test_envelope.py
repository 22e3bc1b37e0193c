"""Opening: what is whole opens, what is not ends as a failure that names the check, and a wrong key is told from a damaged record."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.answers import read_page
from pipeline.enterprise_keys import KeySet, load_private_key
from pipeline.envelope import KeyInfo, OpenSslRsa, decrypt_data, open_item, open_page, parse_key_info, random_key, strict_base64
from pipeline.errors import FAILURE_CODES, RecordError
from pipeline.records import OpenedItem, OpenedPage, PageRef, SealedItem
from pipeline.saved_files import answer_of
from pipeline.sealing import RandomKey, aes_seal, key_info, seal, seal_item

# -- a record that was sealed once by another program and opened by the vendor's library ------------------------------
# The key was made for this test and protects nothing.

PEM = b"""\
-----BEGIN RSA PRIVATE KEY-----
MIIEowIBAAKCAQEApyOK9I159b7cESXQKlzxnAAMFILxvYVGNkysugN1CAZHVC6K
/JdTtJF+d3tFY+kF+i8n+deciYWPNQz92QnU/fL2qp38EPS9wD51vzft0R/fT3nS
5sySYsYJKDAqUTVCd3ptTIUy2e7yYMKXtvRJm2+lWzlgiJzFBRTw+PNZ/OQYdZ/r
UR5mh30AHu0LHuKU8hDtp5lGyFZnNMWmjNWpkW4B+kgSZhMzdiX1LXTOeFObnI+u
57BDEiCj9LUa70uvzNdQ6iSVA75i/BXhZom5n6RYGE/XERI/WaoJqgWFDVoxdIvG
s74ceQMpinT/M3tZG9NAYPiqeayP5wj2nL0Q4QIDAQABAoIBAAzSjWdb7+aFCSAS
/RM1md7vIqjI2kqWY2posSWnfJPW23kKBbqsJ2KmeNkqGWA5W9kzmJxdHhLE2YA8
lMBRC0ic769A5eTXyd4/ocvqOrH9ASZOlnoDaXBEziYJpULL/w3ofrh3TY0/p35P
NNF3O1W+l8/VqTdsg4bzcis/NtZPpRIm2On0AjhwmuozJxWQBpsCLQ/c1y2S1uv2
fH2FrWMc2+EstnnFeOwD5zkhUBo67F+zgM3Z+cscuy+b2nwWTc/mrC/TGgpKyXm4
e578OUF8PGHjygJVtZtSFR3TSy6ygcNEMBHlZvGsniP854NfV6Ivfv9qQszZ/1oU
vCTBnKMCgYEA0cg1nJdyJh31tTlWXH9G2heNjr5f8epaC5XwBoMmdVNY3WXOAs8v
7lcU3QcyiwGnwFzkkntF011+awoeYVA3PPFMHxCjE5t7WM7RW/jJTkOKjHXoebdo
7vCCWm0RTj7YQzpjG37i7OffUsikO222foaBlotpoOyFpA7cRMAef9MCgYEAy/Y9
FO/IvTPuQwGW2rb5MhcFizkzrX3llwZRjvaf5CuAovqIyyiJiWSCRzhZb4nDgqfx
fGZvkCS5qadeUDF1cylAbYHLv6zWm5gZ6X+UkWRtEVdcagwwbsOU6YilYLym0lhN
0hxmk/qgoubUXN9/Z0F+yHtl1biYG179HmhqL/sCgYEAg/XFy5f0hQepjPLhYVPq
tLvGHvmgDuPU+p65ms8a/QiNyM8GVPwRcYKzrAmgAJLs+/MzEPWcScXxBNIbpCk6
Zgp/ULc9bdMLNyT5yznnH2UbHRn6P75gspT12n3rOeYMUdXDjAM4Kb/92ew+auer
uVFQ6OsPadv+gOGcK18SkGMCgYBoOFrd5+jbRT3qX1WGTRjoz3q1uXT+oeY/Vas3
Mi5hmRkSLpLXvM8KtaEcY17P78VHbimnN3CqZxm35x36PEuXnOyfCEPknZzLxNz4
w4hXAsn4ontGdRQKhUYCTyCyXbOgqB6bzodb9iU/GFRLYKjpSj5Okz9mBf0zf0Y3
04LvIQKBgHOjYAKJdcyybBAEY03eYurhw0gQubmfxgCBSmfxXUVJnTMgd3/G7UxX
pn5wF0KZ5WATN2dDQPjebFShddpe8I2mvfVOEof78IT+cQ6A01QtARASR4RzJdY1
LosIYxjJpG+hxTNMbnawcyTXuwbhHJf+/+9pdFslkF1/q4RIh6X+
-----END RSA PRIVATE KEY-----
"""
SEALED = (
    b'{"seq":31,"msgid":"CAQQluDa4QUY0On2rYSAgAMgzPrShAE=","publickey_ver":2,"encrypt_random_key":"YepD7ACE/vq0ghmM+'
    b"9FD8adRllttEXSUl3QtO5cwL2mXXVBmwoJQXmLmVvTSyNQAvTv9/VorhRumHUqX9zbvM5oDl8BgAQ5XhA0tVYGVnI374sypIC4S1QcWMbMy8Lj"
    b"Gy6jMq+E3T7ydtZ/r7yrOuxj+eFZz2Ac/KQBpCzYvLGoL9DDWYtcViSUGM9/GC3Ti7qmtCEv6d38gq+UjeuQz8w2EDAbxjUaYZfbHpyNI3hJlA"
    b'8dkMD+6XdKgaXFPM/wcwmhkUN8VP+flL+GC60UihdGRX5vGFviujVAfDkIn3mjaXPTrRTQP+JaODm6osWzPIXLyLPRUj953w08cc7rd2A==","'
    b'encrypt_chat_msg":"TFjKrMPLStsd5v0IbN0ivLX9OgxljbFgZrqIEqH9tG4qk0vErTR1rbus4Na4dA47Fon3/XjVoSaxctf3R2z+f5YLsQw'
    b"qS10J5hbX1GSf7QyhXRlPpc9S4JYfiN1GviC/sK+DZDoYQxyjduLy8NAxeLUDRVXVz2zQKQl9nDABg/+cQDws02631oH+Qp8/e7biVmbSgrtxB"
    b"/8Q/c/o2LoslanVxl0cB7IKW6QJnjBTZrq591xs/r7jjeLXu2q00MVs0t9AY5Q6/vGPtJMaC4N71/EQOIXjfncPEqUl616lsNjIn/dQrREsNhj"
    b'oBmv4GHTUUjOTOOBFVQXFgVoQw==XjXJv99h+ZZZ"}'
)
KEY_BLOCK = b"GXQVA+EBY8hYuRDzRkTG3mFcEsRJIMz4Fy+weWePpDYMg0a269FaHJlMVj9lE02Z4tULp906tPwGTLfYQmilSg=="
PLAINTEXT = (
    '{"msgid":"CAQQluDa4QUY0On2rYSAgAMgzPrShAE=","action":"send","from":"ZhangSan","tolist":["wmABC"],'
    '"roomid":"","msgtime":1700000000123,"msgtype":"text","text":{"content":"保本吗？"}}'
).encode()
