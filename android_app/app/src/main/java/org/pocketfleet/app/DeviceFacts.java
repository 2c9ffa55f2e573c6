package org.pocketfleet.app;

import android.app.ActivityManager;
import android.content.Context;
import android.content.pm.PackageInfo;
import android.content.pm.PackageManager;
import android.os.Build;
import java.util.LinkedHashMap;
import java.util.Map;

/** What is known of the phone and of this app: kinds and versions, nothing that names a person. */
final class DeviceFacts {
  private DeviceFacts() {}

  /** Facts by their names on the wire: {@code String} or {@code Long}. */
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
    facts.put("memory-bytes", memory.totalMem);
    facts.put("app-version", version(context));
    return facts;
  }

  private static String version(Context context) {
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
