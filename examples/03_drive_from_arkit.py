"""Drive an avatar live by ARKit's blendshape coefficients and view it in the browser.

    python examples/03_drive_from_arkit.py avatar.npz recording.csv [folder_for_pngs]
    python examples/03_drive_from_arkit.py avatar.npz recording.jsonl [folder_for_pngs]
    python examples/03_drive_from_arkit.py avatar.npz udp:9000

A csv file is a recording of Live Link Face, or a table with ARKit's names as header. Otherwise each line (or packet) is
one moment as JSON: {"jawOpen": 0.4, "eyeBlinkLeft": 1.0, ...}; absent coefficients are 0. The key "head" rotates the
head: [x, y, z], axis times radians. The file name "-" reads standard input. With a folder, the script writes pictures
instead of showing them. `sage-render --motion recording.csv` makes a video.
"""

import fileinput
import json
import socket
import sys

import sage_ns

avatar_file, source = sys.argv[1:3]
avatar = sage_ns.Avatar.load(avatar_file)
camera = avatar.front_camera(width=640, height=400)  # as wide as a browser

# The effect of ARKit's 52 shapes on the avatar's rig: by the names of its expressions, or else fitted to its geometry.
arkit = sage_ns.ArkitMap.of(avatar.rig.head_model)
print("without effect on this rig:", ", ".join(arkit.not_representable) or "nothing")


def lines():
    """Yield moments as text: the lines of a file, or packets from the network."""
    if not source.startswith("udp:"):
        with fileinput.input(source) as file:
            yield from file
        return
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # The smallest buffer: packets that arrive while a picture is drawn are dropped instead of being drawn late.
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    port.bind(("127.0.0.1", int(source.removeprefix("udp:"))))  # "0.0.0.0" accepts packets from a phone
    while packet := port.recv(65536):  # an empty packet ends the loop
        yield packet


def moments():
    """Yield motion vectors: of a whole recording, or of one line after the other."""
    if source.lower().endswith(".csv"):
        recording = sage_ns.load_motion(source, avatar.rig.head_model)
        print(*recording.notes, sep="\n")
        yield from recording.vectors
        return
    for line in lines():
        coefficients = json.loads(line)
        head = coefficients.pop("head", (0.0, 0.0, 0.0))
        yield avatar.fit(arkit.motion(coefficients, head))[0]


def draw(motion):
    """Render one moment. The head stays in its place."""
    motion = motion.clone()
    motion[sage_ns.FlameParams.HEAD] = avatar.neutral().motion_vector()[0, sage_ns.FlameParams.HEAD]
    return avatar.render(motion, camera)


if len(sys.argv) > 3:
    sage_ns.write_pictures(sys.argv[3], map(draw, moments()), fps=30)
else:
    import viser

    server = viser.ViserServer(host="127.0.0.1", port=8080)
    for moment in moments():
        server.scene.set_background_image(sage_ns.to_pixels(draw(moment)))
    input("All moments were shown. Press Enter to end the viewer.")
