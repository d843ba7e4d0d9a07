"""Drive an avatar live by ARKit's blendshape coefficients and watch it in the browser.

    python examples/03_drive_from_arkit.py avatar.npz recording.jsonl [folder_for_pngs]
    python examples/03_drive_from_arkit.py avatar.npz udp:9000

Each line (or packet) is one moment as JSON: {"jawOpen": 0.4, "eyeBlinkLeft": 1.0, ...}; what is absent is 0. A key
"head" turns the head: [x, y, z], axis times radians. "-" in a file's place reads standard input. With a folder,
pictures are written instead of shown.
"""

import fileinput
import json
import socket
import sys

import sage_ns

avatar_file, source = sys.argv[1:3]
avatar = sage_ns.Avatar.load(avatar_file)
camera = avatar.front_camera(width=640, height=400)  # as wide as a browser

# What the avatar's rig can do of ARKit's 52 shapes: by the names of its expressions, else fitted to its geometry.
arkit = sage_ns.ArkitMap.of(avatar.rig.head_model)
print("without effect on this rig:", ", ".join(arkit.not_representable) or "nothing")


def moments():
    """Moments as text: the lines of a file, or packets from the network."""
    if not source.startswith("udp:"):
        with fileinput.input(source) as lines:
            yield from lines
        return
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # As good as no buffer: what is sent while a picture is drawn gets lost, instead of being drawn late.
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    port.bind(("127.0.0.1", int(source.removeprefix("udp:"))))  # "0.0.0.0" listens to other machines, like a phone
    while packet := port.recv(65536):  # an empty packet ends it
        yield packet


def draw(line):
    """One moment as a picture."""
    coefficients = json.loads(line)
    head = coefficients.pop("head", (0.0, 0.0, 0.0))
    motion = avatar.fit(arkit.motion(coefficients, head))[0]
    # The head stays where the avatar's is.
    motion[sage_ns.FlameParams.HEAD] = avatar.neutral().motion_vector()[0, sage_ns.FlameParams.HEAD]
    return avatar.render(motion, camera)


if len(sys.argv) > 3:
    sage_ns.write_pictures(sys.argv[3], map(draw, moments()), fps=30)
else:
    import viser

    server = viser.ViserServer(host="127.0.0.1", port=8080)
    for moment in moments():
        server.scene.set_background_image(sage_ns.to_pixels(draw(moment)))
    input("That was all. Enter ends the viewer.")
