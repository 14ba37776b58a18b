"""What the initialisation takes for granted of people, cameras and tools: a group for each step of `recipe`.

Each number says what it rests on. "Judgement" is a plausible size that no measurement gives, though what it does was
watched on development clips: motions of the people whom `configs/prior.yaml` holds out, and the clips of `benchmarks/`.
Figures measured on those flatter a number that was chosen by them.
"""

from dataclasses import dataclass, field

from diffopt.bounds import at_least, fraction, positive
from diffopt.motion.foot_contact import StanceOptions


@dataclass(frozen=True)
class SwapOptions:
    """When left and right of the keypoints were swapped."""

    nearer: float = fraction(0.7)
    """Swapped, they must lie nearer to the body by this ratio of mean distances. Judgement; development clips confirm
    it (62 of 70 simulated swaps found, none of 3,170 other frames touched)."""
    longest_s: float = positive(1.0)
    """A longer span is no slip of the detector, seconds: then it may be the body that is the wrong way round.
    Judgement: detectors swap sides where legs cross, which they do for a fraction of a stride."""


@dataclass(frozen=True)
class DepthOptions:
    """How bodies are moved to the depth of their keypoints."""

    min_keypoints: int = at_least(2, 6)
    """Fewer in a frame tell no depth; two would just do. Judgement: half a body, at COCO's twelve below the head."""
    outlier: float = positive(0.06)
    """A keypoint this far off counts a quarter, as a share of the body's size in the image. Judgement: six times what
    detectors are off (1 percent, see `simulation.front_end_errors`), where limbs of an initial body are off as well."""
    most: float = at_least(1, 10.0)
    """Bodies that would have to move by more than this factor are not of these keypoints, and stay. Judgement:
    estimators err by a tenth."""


@dataclass(frozen=True)
class TrackingLostOptions:
    """When SLAM lost its way, or never was asked."""

    still_rad: float = positive(0.0035)
    """A camera that stands exactly still was lost, unless it turns by more than this in a frame, radians (0.2 degrees):
    cameras stop to pan. Judgement: a pan of 6 degrees a second at 30 Hz."""
    neighbour_steps: int = at_least(1, 5)
    """Steps on either side that tell how a camera turns while it is lost. Judgement: a third of a second at 30 Hz."""
    contradiction_m_s: float = positive(0.4)
    """A camera that stands, although the legs walk away from it this fast, does not stand, metres per second; half of
    a slow walk (0.8 m/s)."""
    contradiction_s: float = positive(1.0)
    """Time over which both speeds are averaged, seconds: a stride, in which a body sways to and fro once."""


@dataclass(frozen=True)
class GravityOptions:
    """How people stand and cameras are held."""

    leg_difference_m: float = positive(0.3)
    """A foot this much higher than the other carries a factor e less, metres. Judgement: on the next step of a stair
    (0.17 m) it carries about half."""
    along_foot: float = fraction(0.7)
    """Where a foot's load lies on average, from the ankle (0) to the toe joint (1). Judgement: it rolls from heel
    to ball and stays longest there."""
    body_lean_rad: float = positive(0.14)
    """How far bodies lean throughout a clip, radians (8 degrees). Judgement: as runners do (5 to 10 degrees)."""
    camera_roll_rad: float = positive(0.05)
    """How far cameras are held off level, radians (3 degrees). Judgement: what is seen as askew; it
    halved what gravity was off on twelve real development clips."""
    strange_roll_rad: float = positive(0.35)
    """A camera that seems off level by this much is believed a quarter, radians: some are held askew. Judgement: seven
    times the usual."""
    camera_height_m: float = positive(1.5)
    """How high cameras are held over the ground, metres: between chest and eyes. The benchmark's own are held 1.1 to
    1.9 m high and so are no test of it."""
    camera_height_error_m: float = positive(0.4)
    """How far from that they are held, metres. Judgement: from the chest to over the head."""
    strange_height_m: float = positive(1.0)
    """A camera that seems held this far from it is believed a quarter, metres: some fly, some lie on the ground.
    Judgement: out of anybody's reach."""
    contact_height_m: float = positive(0.03)
    """How level floor and feet in contact are, metres. Judgement: soles of an estimated body are off by centimetres."""
    tilt_drift_rad: float = positive(0.003)
    """Random walk of the camera's tilt about one axis, root mean square after one second, radians. Derived: SLAM's 0.3
    degrees as simulated, over the square root of its three axes."""
    up_error_rad: float = positive(0.05)
    """How far off up may be after balance and camera have spoken, radians. Judgement; 2.6 degrees on average
    were measured then on development clips."""
    place_m: float = positive(0.2)
    """Contacts this near to each other are one piece of evidence, metres; about the length of a foot."""
    floor_share: float = fraction(0.25)
    """Part of the feet in contact that may lie below the floor. Judgement, on development clips: the median (0.5) lets
    bodies sink in, the lowest foot (0) is an error of the estimate."""


@dataclass(frozen=True)
class ExpectedVelocityOptions:
    """How the velocity that the prior expects of legs is believed."""

    doubt_m_s: float = positive(0.12)
    """The prior may take the foot in contact for this much slower than the legs have it before it is doubted, metres
    per second. Chosen on people held out from its training, whose paths it brought from 4.5 to 4.1 percent of error; in
    another studio it did from 1.9 to 1.7."""
    doubt_s: float = positive(0.5)
    """Over how long that is averaged, seconds: half a stride."""
    speed_gain: float = positive(1.04)
    """The expected speed is this factor short: errors of the legs take strides away but hardly ever add any, and an
    expectation leans towards standing still. Measured on the walks of `benchmarks/accuracy.yaml`, posed as fits pose
    them: scales found on those walks are no proof of it."""
    run_gain: float = positive(1.1)
    """And short by this much more for runners, of whom the prior has seen seven seconds. Measured on development clips
    of a studio that it does not know: windows expected to go faster than `run_m_s` have 0.91 of the true speed (0.906
    to 0.921), slower ones 0.99 to 1.04."""
    run_m_s: float = positive(2.2)
    """Who goes faster runs, metres per second: people change from walking to running at about 2 (Thorstensson and
    Roberthson, 1987)."""
    run_blend_m_s: float = positive(0.2)
    """Over how much speed one goes over into the other, metres per second. Judgement."""
    run_around_s: float = positive(0.5)
    """Over how long the speed is averaged for that, seconds: even runners slow down at every step."""


@dataclass(frozen=True)
class Evidence:
    """How far each kind of evidence of the root trajectory is trusted: standard deviations."""

    across_rad: float = positive(0.0075)
    """Direction in which the root is seen, radians. Judgement: 7 pixels at a focal length of 1,000."""
    along: float = positive(0.0375)
    """Depth of the root, as a part of it. Judgement: an estimator's drifts by 3 percent as simulated, and
    errors of the pose come on top."""
    contact_m_s: float = positive(0.10)
    """Speed of a foot in contact, metres per second. Judgement: 3 mm a frame at 30 Hz."""
    expected_m_s: float = positive(0.4)
    """Error of the velocity that the prior expects, metres per second. Judgement: large, since it errs alike for many
    frames, which count as if each erred on its own."""
    acceleration_m_s2: float = positive(4.0)
    """Acceleration of the root, metres per second squared. In walking a pelvis has 1 to 3, in running 10 and more."""
    foot_height_m: float = positive(0.03)
    """A foot point this far above the lowest one is half as likely to be down, metres. Judgement: soles of an estimated
    body are off by centimetres."""


@dataclass(frozen=True)
class RootTrajectoryOptions:
    """What the root trajectory is solved from."""

    feet_decide: Evidence = field(default_factory=Evidence)
    """Where the camera's scale is sought: the legs are all there is to find it by."""
    view_decides: Evidence = field(default_factory=lambda: Evidence(along=0.015, contact_m_s=1.0, expected_m_s=1.0))
    """Where the camera's scale is known: an estimated body sets its feet too short or askew throughout, which over a
    clip misleads the trajectory more than the noise of single views. Judgement, on development clips."""
    least_travel_m: float = positive(0.05)
    """A camera that SLAM saw travel went at least this far from where it began, metres. Legs that are hardly seen to
    move, from behind or in slow motion, can make its scale come out below nought: a world seen in a mirror."""


@dataclass(frozen=True)
class ScaleOptions:
    """How the scale of a travelling camera is read from feet that stand and from the expected velocity."""

    moved_s: float = positive(0.1)
    """Over how long a foot's movement is measured, seconds. Judgement: a fraction of the time that a foot stands, even
    a runner's (0.2 s), and long enough that a body's noise of millimetres is no speed."""
    across_m_s: float = positive(0.1)
    """A foot that stands seems to go this fast across the line of sight, m/s. As `contact_m_s` of the trajectory."""
    along_m_s: float = positive(0.5)
    """And along it, m/s: depth is several times less sure, as `along` is to `across_rad` there."""
    foot_height_m: float = positive(0.05)
    """A point of a sole this far above the lowest one is half as likely to stand, metres. As `sliding_height_m`."""
    no_foot: float = positive(0.02)
    """Share of the frames in which a foot seems to stand under any scale, by chance. Judgement; 0.1 does as well."""
    expected_m_s: float = positive(0.25)
    """Error of the velocity that the prior expects, averaged, m/s; larger ones count by their logarithm. Chosen on
    simulated clips of kinds that the prior was not trained on: 0.4 does nearly as well there, and worse on walks."""
    expected_s: float = positive(0.17)
    """Over how long that error is averaged, seconds. Judgement; half a second does as well."""
    independent_per_s: float = positive(4.0)
    """Pieces of evidence in a second that do not repeat each other: a foot stands for a quarter of one or more. Stated
    intervals of 68 percent then held 83 percent of 47 simulated clips, most of kinds that the prior had not seen."""
    drift: float = positive(0.066)
    """What no evidence tells of ln(scale): SLAM's own drift within a clip, as the feet of true bodies left it."""


@dataclass(frozen=True)
class InitialisationOptions:
    """What is taken for granted before a fit begins."""

    left_right_swap: SwapOptions = field(default_factory=SwapOptions)
    depth: DepthOptions = field(default_factory=DepthOptions)
    tracking_lost: TrackingLostOptions = field(default_factory=TrackingLostOptions)
    gravity: GravityOptions = field(default_factory=GravityOptions)
    stance: StanceOptions = field(default_factory=StanceOptions)
    expected_velocity: ExpectedVelocityOptions = field(default_factory=ExpectedVelocityOptions)
    scale: ScaleOptions = field(default_factory=ScaleOptions)
    root_trajectory: RootTrajectoryOptions = field(default_factory=RootTrajectoryOptions)
