"""List the Vulkan devices of this machine, for libraries that do not tell the name of their device."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

__all__ = ["VulkanDevice", "devices"]

LOADER = "libvulkan.so.1"
# From the Vulkan specification: a VkStructureType, a VkPhysicalDeviceType, and the layout of
# VkPhysicalDeviceProperties: apiVersion, driverVersion, vendorID, deviceID, deviceType, then the name.
INSTANCE_CREATE_INFO = 1
CPU = 4
NAME_AT, NAME_SIZE, PROPERTIES_SIZE = 20, 256, 4096
MAX_DEVICES = 16


class InstanceCreateInfo(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.c_void_p),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class VulkanDevice:
    """A device. `software`: whether its driver computes on the CPU, like Mesa's lavapipe."""

    name: str
    software: bool


def devices() -> list[VulkanDevice]:
    """All devices, in the loader's order; empty when there is no loader or no driver."""
    try:
        vulkan = ctypes.CDLL(LOADER)
    except OSError:
        return []
    instance, info = ctypes.c_void_p(), InstanceCreateInfo(kind=INSTANCE_CREATE_INFO)
    if vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)):
        return []
    try:
        count, handles = ctypes.c_uint32(MAX_DEVICES), (ctypes.c_void_p * MAX_DEVICES)()
        if vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles) < 0:
            return []
        return [describe(vulkan, ctypes.c_void_p(handle)) for handle in handles[: count.value]]
    finally:
        vulkan.vkDestroyInstance(instance, None)


def describe(vulkan: ctypes.CDLL, handle: ctypes.c_void_p) -> VulkanDevice:
    properties = ctypes.create_string_buffer(PROPERTIES_SIZE)
    vulkan.vkGetPhysicalDeviceProperties(handle, properties)
    kind = int.from_bytes(properties.raw[NAME_AT - 4 : NAME_AT], "little")
    name = properties.raw[NAME_AT : NAME_AT + NAME_SIZE].partition(b"\0")[0]
    return VulkanDevice(name.decode(errors="replace"), kind == CPU)
