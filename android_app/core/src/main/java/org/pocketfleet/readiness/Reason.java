package org.pocketfleet.readiness;

/** Why a device may not work now. */
public enum Reason {
  NOT_CHARGING("not-charging"),
  BATTERY_LOW("battery-low"),
  BATTERY_SAVER("battery-saver"),
  BATTERY_HOT("battery-hot"),
  DEVICE_HOT("device-hot"),
  OFFLINE("offline"),
  METERED("metered-network"),
  IN_USE("in-use"),
  STORAGE_LOW("storage-low");

  private final String key;

  Reason(String key) {
    this.key = key;
  }

  /** What records call it. */
  public String key() {
    return key;
  }
}
