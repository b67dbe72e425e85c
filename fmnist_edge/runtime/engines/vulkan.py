"""The Vulkan devices of this machine, by its own loader: what a library that tells no names can run on."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

__all__ = ["VulkanDevice", "devices"]

LOADER = "libvulkan.so.1"
# Of the Vulkan specification: VkStructureType, VkPhysicalDeviceType, and VkPhysicalDeviceProperties, which begins with
# apiVersion, driverVersion, vendorID, deviceID and deviceType, then the name.
INSTANCE_CREATE_INFO = 1
CPU = 4
NAME_AT, NAME_SIZE, PROPERTIES_SIZE = 20, 256, 4096
MOST = 16


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
    """software: a driver that computes on the CPU, such as Mesa's lavapipe."""

    name: str
    software: bool


def devices() -> list[VulkanDevice]:
    """Every device that some driver offers, in the loader's order; none where there is no loader or no driver."""
    try:
        vulkan = ctypes.CDLL(LOADER)
    except OSError:
        return []
    instance, info = ctypes.c_void_p(), InstanceCreateInfo(kind=INSTANCE_CREATE_INFO)
    if vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)):
        return []
    try:
        count, handles = ctypes.c_uint32(MOST), (ctypes.c_void_p * MOST)()
        if vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles) < 0:
            return []
        return [described(vulkan, ctypes.c_void_p(handle)) for handle in handles[: count.value]]
    finally:
        vulkan.vkDestroyInstance(instance, None)


def described(vulkan: ctypes.CDLL, handle: ctypes.c_void_p) -> VulkanDevice:
    properties = ctypes.create_string_buffer(PROPERTIES_SIZE)
    vulkan.vkGetPhysicalDeviceProperties(handle, properties)
    kind = int.from_bytes(properties.raw[NAME_AT - 4 : NAME_AT], "little")
    name = properties.raw[NAME_AT : NAME_AT + NAME_SIZE].partition(b"\0")[0]
    return VulkanDevice(name.decode(errors="replace"), kind == CPU)
