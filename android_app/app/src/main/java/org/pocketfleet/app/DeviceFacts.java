package org.pocketfleet.app;

import android.app.ActivityManager;
import android.content.Context;
import android.content.pm.PackageInfo;
import android.content.pm.PackageManager;
import android.os.Build;
import java.util.LinkedHashMap;
import java.util.Map;
import org.pocketfleet.message.Records;
import org.pocketfleet.readiness.Conditions;

/** What is known of the phone and of this app: nothing that names a person. */
final class DeviceFacts {
  private DeviceFacts() {}

  /** Facts by their names on the wire, as they are now. */
  static Map<String, Object> of(Context context) {
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put(
        "system", "Android " + Build.VERSION.RELEASE + " (API " + Build.VERSION.SDK_INT + ")");
    facts.put("manufacturer", Build.MANUFACTURER);
    facts.put("device-model", Build.MODEL);
    facts.put("machine", Build.SUPPORTED_ABIS.length > 0 ? Build.SUPPORTED_ABIS[0] : "unknown");
    facts.put("cores", (long) Runtime.getRuntime().availableProcessors());
    ActivityManager.MemoryInfo memory = new ActivityManager.MemoryInfo();
    context.getSystemService(ActivityManager.class).getMemoryInfo(memory);
    facts.put(Records.MEMORY_BYTES, memory.totalMem);
    Conditions now = new AndroidConditions(context).read();
    if (!Double.isNaN(now.batteryPercent())) {
      facts.put(Records.BATTERY_PERCENT, now.batteryPercent());
      facts.put(Records.CHARGING, now.charging());
    }
    facts.put("app-version", version(context));
    return facts;
  }

  /** Version of this app. */
  static String version(Context context) {
    try {
      PackageInfo info = context.getPackageManager().getPackageInfo(context.getPackageName(), 0);
      return info.versionName == null ? "unknown" : info.versionName;
    } catch (PackageManager.NameNotFoundException self) {
      return "unknown";
    }
  }

  /** What to call the phone where its owner has given it no name. */
  static String defaultName() {
    boolean twice = Build.MODEL.startsWith(Build.MANUFACTURER);
    return twice ? Build.MODEL : Build.MANUFACTURER + " " + Build.MODEL;
  }
}
