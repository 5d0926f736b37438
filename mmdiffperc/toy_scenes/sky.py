"""The sky, and the fog below it."""

from dataclasses import dataclass

import numpy as np

# Fog fills the air up to this height, in metres, so that less of it is in front of the sky overhead.
FOG_TOP = 12.0
CLOUD_BRIGHTNESS = 0.94  # of the brightest channel of the horizon
# Amplitude and spatial frequencies (x, z).
CLOUD_WAVES = ((1.0, 1.1, 0.9), (0.7, 2.3, -1.7), (0.5, 4.1, 2.9), (0.35, 7.3, -6.1))


@dataclass(frozen=True)
class Sky:
    """A gradient with clouds, and fog that is paler than the horizon.

    Args:
        name (str): Key of ``SKIES``.
        zenith (np.ndarray): Radiance (3,) overhead.
        horizon (np.ndarray): Radiance (3,) at the horizon.
        cloud_cover (float): Part of the sky that clouds cover, 0 to 1.
        phase (np.ndarray): Shifts (4,) of the clouds.
        fog (float): Extinction of the fog, per metre. Defaults to 0, which means clear air.
    """

    name: str
    zenith: np.ndarray
    horizon: np.ndarray
    cloud_cover: float
    phase: np.ndarray
    fog: float = 0.0

    @property
    def fog_colour(self):
        """np.ndarray: Radiance (3,) of dense fog."""
        return (self.horizon + self.horizon.mean()) / 2

    def radiance(self, directions):
        """Return the radiance (N, 3) of the sky in directions (N, 3) of any length, without fog."""
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        elevation = unit[:, 1].clip(0, None)
        gradient = (elevation / 0.45).clip(0, 1)[:, None] ** 0.7
        radiance = (1 - gradient) * self.horizon + gradient * self.zenith
        if self.cloud_cover:
            radiance += self._clouds(unit, elevation)[:, None] * (CLOUD_BRIGHTNESS * self.horizon.max() - radiance)
        return radiance.astype(np.float32)

    def behind_fog(self, radiance, distances):
        """Return ``t * radiance + (1 - t) * fog_colour`` with ``t = exp(-fog * distance)``: what reaches the viewer.

        Args:
            radiance (np.ndarray): (..., 3).
            distances (np.ndarray): Length of the path through the fog (...), in metres.
        """
        if not self.fog:
            return radiance
        transmittance = np.exp(-self.fog * distances)[..., None]
        return transmittance * radiance + (1 - transmittance) * self.fog_colour

    def path_lengths(self, depth, directions, height):
        """Return the lengths of paths through the fog.

        Args:
            depth (np.ndarray): Depth (...) of surfaces, infinite for the sky.
            directions (np.ndarray): Directions (..., 3) of the rays, whose parameter is the depth.
            height (float): Height of the viewer, in metres.

        Returns:
            np.ndarray: (...), in metres.
        """
        # A ray towards the sky leaves the fog at its top; at the horizon, it never does.
        to_top = (FOG_TOP - height) / directions[..., 1].clip(1e-3, None)
        return np.where(np.isinf(depth), to_top, depth) * np.linalg.norm(directions, axis=-1)

    def _clouds(self, unit, elevation):
        """Return the opacity (N,) of the clouds, a flat layer that is denser towards the horizon."""
        x, z = unit[:, [0, 2]].T / (elevation + 0.12)
        waves = sum(
            amplitude * np.sin(u * x + v * z + shift)
            for (amplitude, u, v), shift in zip(CLOUD_WAVES, self.phase, strict=True)
        )
        return (0.6 * waves + 2 * self.cloud_cover - 0.75).clip(0, 1)
